// Every error a user can meet, as one table: stable code, HTTP status, OpenAI error type, message
// template and next step. Knows neither HTTP replies nor terminals; it only says what is wrong.

/** OpenAI's `error.type` values that Corral uses. */
export type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'rate_limit_error'
  | 'server_error';

export interface ErrorDefinition {
  readonly status: number;
  readonly type: ErrorType;
  /** `{name}` is replaced by the parameter of that name. */
  readonly message: string;
  /** What the person should do next; templated as the message. */
  readonly next: string;
}

const invalid = (message: string, next: string, status = 400): ErrorDefinition => ({
  status,
  type: 'invalid_request_error',
  message,
  next,
});
const server = (message: string, next: string, status = 500): ErrorDefinition => ({
  status,
  type: 'server_error',
  message,
  next,
});

export const errorTable = {
  // Requests
  invalid_request: invalid('{reason}', 'Correct the named field and send the request again.'),
  unsupported_parameter: invalid(
    '"{param}" is not supported: {reason}',
    'Leave the parameter out or use a supported value.',
  ),
  context_length_exceeded: invalid(
    'The prompt has {prompt_tokens} tokens and max_tokens is {max_tokens}; together they exceed the context of {n_ctx} tokens.',
    'Shorten the prompt or ask for fewer tokens.',
  ),
  content_blocked: invalid(
    'The request was refused by policy {pack}, rule {rule} ({category}).',
    'Change the request, or ask the operator of this service to review the rule.',
  ),
  payload_too_large: invalid(
    'The body has {bytes} bytes; the limit is {limit}.',
    'Send a smaller body.',
    413,
  ),
  // Access
  missing_api_key: {
    status: 401,
    type: 'authentication_error',
    message: 'No API key was sent.',
    next: 'Send "Authorization: Bearer sk-corral-...". The key of this machine is in $CORRAL_HOME/credentials.json.',
  },
  invalid_api_key: {
    status: 401,
    type: 'authentication_error',
    message: 'The API key "{hint}" is not known, expired or revoked.',
    next: 'Create a key with "corral keys create", or read $CORRAL_HOME/credentials.json.',
  },
  permission_denied: {
    status: 403,
    type: 'permission_error',
    message: 'The API key may not do this: it lacks the scope "{scope}".',
    next: 'Use a key with that scope.',
  },
  not_found: {
    status: 404,
    type: 'not_found_error',
    message: 'There is no {kind} "{id}".',
    next: 'List what exists, and check the spelling of the id.',
  },
  model_not_found: {
    status: 404,
    type: 'not_found_error',
    message: 'The model "{model}" does not exist or is not deployed.',
    next: 'See "corral models list" and "corral deploy MODEL".',
  },
  route_not_found: {
    status: 404,
    type: 'not_found_error',
    message: 'There is no route {method} {path}.',
    next: 'See /openapi.json for the routes of this server.',
  },
  conflict: {
    status: 409,
    type: 'conflict_error',
    message: '{reason}',
    next: 'Look at the current state and decide again.',
  },
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    message: 'Too many requests: {reason}',
    next: 'Wait for the time given in Retry-After and send the request again.',
  },
  // Data
  data_invalid: invalid(
    '{error_count} of {rows} rows cannot be used.\n{details}',
    'Correct the rows named above; nothing was started.',
  ),
  data_empty: invalid(
    'The data set "{path}" has no examples.',
    'Give a file with at least one example.',
  ),
  file_not_found: invalid('There is no file "{path}".', 'Check the path.'),
  config_invalid: invalid('The configuration is not valid:\n{details}', 'Correct the named keys.'),
  // Model files
  model_file_invalid: invalid(
    'The model file "{path}" cannot be used: {reason}',
    'Get the file again from its source; a cut download is the usual cause.',
  ),
  model_format_refused: invalid(
    'The file "{path}" is {found}; only safetensors and GGUF are read.',
    'Convert the weights to safetensors. Pickle files can run code and are never opened.',
  ),
  model_unsupported: invalid(
    'The model "{path}" cannot be used: {reason}',
    'See "corral models list" for models known to work.',
  ),
  non_finite_weights: invalid(
    'The tensor "{tensor}" holds values that are not finite.',
    'Get the weights again from their source.',
  ),
  download_failed: server(
    'The download of {ref} failed from every source:\n{details}',
    'Check the network, or give a local file: corral models import PATH.',
    502,
  ),
  digest_mismatch: server(
    '"{path}" has SHA-256 {found}, expected {expected}; it was removed.',
    'Run the command again. If it happens twice, the source changed: do not use it.',
    502,
  ),
  license_not_accepted: invalid(
    'The licence "{license}" of {model} was not accepted.',
    'Read it at {url} and repeat the command with --accept-license.',
    403,
  ),
  // Machine
  disk_too_small: server(
    '{path} has {available} free; {needed} are needed for {purpose}.',
    'Free space or set CORRAL_HOME to a larger disk; nothing was started.',
    507,
  ),
  disk_full: server(
    '"{path}" could not be written: {reason}.',
    'Free space and run the same command again: it goes on from the last checkpoint.',
    507,
  ),
  memory_too_small: server(
    'The run needs {needed} of memory; {available} may be used.',
    'Lower context_length or batch_size, or raise runtime.memory_limit (auto: nine tenths of the machine).',
    507,
  ),
  model_too_large: server(
    'The model "{model}" needs {needed} of memory to be served; {available} may be used.',
    'Lower engine.n_ctx or engine.n_seq_max, unpin other models, or raise serving.memory_limit.',
    507,
  ),
  port_in_use: server(
    'Port {port} on {host} is taken by another program.',
    'Stop it, or choose another port: corral serve --port {suggestion}.',
  ),
  home_in_use: server(
    'Another Corral server (process {pid}) already uses {home}.',
    'Use it as it is (corral status), stop it, or set CORRAL_HOME to another folder.',
  ),
  database_unreachable: server(
    'The database cannot be reached: {reason}',
    'Check DATABASE_URL, or unset it to use the embedded database.',
    503,
  ),
  server_unreachable: server(
    'No Corral server answers at {base_url}.',
    'Start one with "corral serve".',
    503,
  ),
  native_library_missing: server(
    'The native library for {component} does not load on this machine: {reason}',
    'Run "corral doctor".',
  ),
  // Work
  training_failed: server('Training failed: {reason}', 'See "corral jobs logs {job}".'),
  training_diverged: server(
    'Training diverged at step {step}: {reason} (rows {rows}).',
    'Lower learning_rate, or look at the named rows.',
  ),
  engine_unavailable: server(
    'The engine for "{model}" is not available: {reason}',
    'Send the request again in a few seconds.',
    503,
  ),
  engine_failed: server(
    'The engine failed: {reason}',
    'Send the request again; if it fails again see "corral doctor".',
  ),
  overloaded: server(
    'The engine has no room for this request: {reason}',
    'Wait for the time given in Retry-After and send the request again.',
    503,
  ),
  deadline_exceeded: server(
    'The deadline of {deadline_ms} ms passed before anything was generated.',
    'Allow more time, or send the request when the server is less busy.',
    504,
  ),
  parity_failed: invalid(
    'The model "{model}" does not answer as it was trained: {reason}',
    'Run "corral models show {model}" for the first difference and its likely cause.',
    409,
  ),
  evidence_invalid: invalid(
    'The evidence does not verify: {reason}',
    'Compare with an older copy of the log head.',
  ),
  cancelled: {
    status: 499,
    type: 'invalid_request_error',
    message: 'Cancelled.',
    next: 'Run it again to go on where it was.',
  },
  closed: server('"{what}" was used after it was closed.', 'This is a defect: please report it.'),
  internal_error: server(
    'Something went wrong inside Corral.',
    'See the server log for request {request_id}.',
  ),
} as const satisfies Record<string, ErrorDefinition>;

export type ErrorCode = keyof typeof errorTable;
export const errorCodes = Object.keys(errorTable) as ErrorCode[];

export type ErrorParameters = Record<string, string | number>;

export interface CorralErrorOptions {
  /** Values for the `{name}` holes of message and next step. */
  readonly params?: ErrorParameters;
  /** The request field at fault (OpenAI's `param`). */
  readonly param?: string | null;
  /** Machine-readable particulars, shown under `corral.details`. */
  readonly details?: Record<string, unknown>;
  readonly cause?: unknown;
}

const fill = (template: string, params: ErrorParameters): string =>
  template.replace(/\{(\w+)\}/g, (hole, name: string) => String(params[name] ?? hole));

/** The one error class: a code of the table with its parameters. Everything else thrown is a defect. */
export class CorralError extends Error {
  override readonly name = 'CorralError';
  readonly code: ErrorCode;
  readonly params: ErrorParameters;
  readonly param: string | null;
  readonly details: Record<string, unknown> | undefined;

  constructor(code: ErrorCode, options: CorralErrorOptions = {}) {
    const { params = {}, param = null, details, cause } = options;
    super(fill(errorTable[code].message, params), cause === undefined ? {} : { cause });
    this.code = code;
    this.params = params;
    this.param = param;
    this.details = details;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get next(): string {
    return fill(errorTable[this.code].next, this.params);
  }

  /** True for errors of this class from any copy of the package. */
  static isInstance(value: unknown): value is CorralError {
    return value instanceof Error && value.name === 'CorralError' && 'code' in value;
  }
}

/** What crosses a process when something failed. */
export interface ErrorPayload {
  readonly code: ErrorCode;
  readonly params: ErrorParameters;
  readonly param?: string | null;
  readonly details?: Record<string, unknown> | undefined;
}

export const toErrorPayload = (error: unknown): ErrorPayload =>
  CorralError.isInstance(error)
    ? { code: error.code, params: error.params, param: error.param, details: error.details }
    : { code: 'internal_error', params: { request_id: '-' }, details: { reason: String(error) } };

export const fromErrorPayload = (payload: ErrorPayload): CorralError =>
  new CorralError(payload.code, {
    params: payload.params,
    param: payload.param ?? null,
    ...(payload.details ? { details: payload.details } : {}),
  });

/** OpenAI's error body, with the next step under `corral`. */
export const toErrorBody = (error: CorralError, requestId: string) => ({
  error: {
    message: error.message,
    type: errorTable[error.code].type,
    param: error.param,
    code: error.code,
  },
  corral: {
    next: error.next,
    request_id: requestId,
    ...(error.details ? { details: error.details } : {}),
  },
});
