import { apacheFcgid } from '../support/apache.ts'
import { proveBehind } from './prove-behind.ts'

proveBehind(apacheFcgid)
