/**
 * Where the code of runfcgi lies: what is below it in a stack is not the application's. Asked here for all, one folder below
 * src or dist, since modules of deeper folders of src lie no deeper in dist (.ci/build.js).
 */

export const OWN_CODE = new URL('..', import.meta.url).href
