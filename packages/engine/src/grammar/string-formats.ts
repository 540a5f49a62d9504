// The string formats that schemas may name, as patterns. Each is a subset of its definition: what is
// written by them is valid.
const hex = '[0-9a-fA-F]';
const octet = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])';
const label = '[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?';

// RFC 3339. The 29th of February only in years that have it.
const leapYear = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00|0000)';
const date =
  '([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|' +
  `${leapYear}-02-29)`;
const zone = '(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])';
const time = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?${zone}`;

/** Anchored patterns by format name. */
export const stringFormats: ReadonlyMap<string, string> = new Map(
  Object.entries({
    date: `^${date}$`,
    time: `^${time}$`,
    'date-time': `^${date}T${time}$`,
    // ISO 8601, appendix A of RFC 3339.
    duration:
      '^P([0-9]{1,4}W|[0-9]{1,4}Y([0-9]{1,4}M([0-9]{1,4}D)?)?|[0-9]{1,4}M([0-9]{1,4}D)?|[0-9]{1,4}D|' +
      'T([0-9]{1,4}H([0-9]{1,4}M([0-9]{1,4}S)?)?|[0-9]{1,4}M([0-9]{1,4}S)?|[0-9]{1,4}S))$',
    uuid: `^${hex}{8}-${hex}{4}-${hex}{4}-${hex}{4}-${hex}{12}$`,
    email: `^[a-zA-Z0-9_+-]{1,32}(\\.[a-zA-Z0-9_+-]{1,31})?@(${label}\\.){1,4}[a-zA-Z]{2,16}$`,
    hostname: `^(${label}\\.){0,4}${label}$`,
    ipv4: `^(${octet}\\.){3}${octet}$`,
    ipv6: `^((${hex}{1,4}:){7}${hex}{1,4}|::1|::)$`,
    uri: `^(https?|ftp)://(${label}\\.){0,4}${label}(:[1-9][0-9]{1,3})?(/[a-zA-Z0-9._~-]{1,64}){0,16}/?(\\?[a-zA-Z0-9._~&=-]{1,256})?(#[a-zA-Z0-9._~-]{1,64})?$`,
  }),
);

/** Formats of numbers say how they are stored, which JSON does not care about. */
export const numberFormats: ReadonlySet<string> = new Set(['int32', 'int64', 'float', 'double']);
