/**
 * The numbers of FastCGI 1.0 (§8, "Types and Constants"), under the names the specification gives them.
 */

export const VERSION_1 = 1

/** Bytes of a record header (§3.3). */
export const HEADER_LENGTH = 8

/**
 * The content of each record of a long stream that we write: the largest multiple of eight that contentLength (16 bits,
 * §3.3) can say, so that no record needs padding. 65,535 bytes plus padding overran a buffer in HAProxy (CVE-2026-55203).
 */
export const STREAM_CONTENT_LENGTH = 65_528

/** The requestId of management records (§3.3). */
export const NULL_REQUEST_ID = 0

export const RecordType = {
  beginRequest: 1,
  abortRequest: 2,
  endRequest: 3,
  params: 4,
  stdin: 5,
  stdout: 6,
  stderr: 7,
  data: 8,
  getValues: 9,
  getValuesResult: 10,
  unknownType: 11,
} as const
export type RecordType = (typeof RecordType)[keyof typeof RecordType]

/** Mask for the flags byte of FCGI_BEGIN_REQUEST (§5.1): the web server will send more requests on this connection. */
export const KEEP_CONN = 1

export const Role = { responder: 1, authorizer: 2, filter: 3 } as const
export type Role = (typeof Role)[keyof typeof Role]

/** protocolStatus of FCGI_END_REQUEST (§5.5). */
export const ProtocolStatus = { requestComplete: 0, cantMpxConn: 1, overloaded: 2, unknownRole: 3 } as const
export type ProtocolStatus = (typeof ProtocolStatus)[keyof typeof ProtocolStatus]

/** The variables a web server may ask for with FCGI_GET_VALUES (§4.1). */
export const ManagementVariable = {
  maxConns: 'FCGI_MAX_CONNS',
  maxReqs: 'FCGI_MAX_REQS',
  mpxsConns: 'FCGI_MPXS_CONNS',
} as const
