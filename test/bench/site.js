/** An application of the bench as the runfcgi command loads it; which one, and for which case, stands in the environment. */

import { APPLICATIONS } from './applications.js'
import { workOf } from './cases.js'

const { BENCH_APPLICATION, BENCH_CASE } = process.env

export default await APPLICATIONS[BENCH_APPLICATION](workOf(BENCH_CASE))
