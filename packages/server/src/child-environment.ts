// The environment a child process gets: children read model files and data sets of strangers, so
// credentials of the server are none of their business.

const isSecret = (name: string): boolean =>
  /TOKEN|SECRET|PASSWORD|PASSWD|KEY$|API_KEY|CREDENTIAL|^DATABASE_URL$|^PG/i.test(name);

/** This process's environment without secrets, with `extra` on top. */
export const childEnvironment = (extra: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSecret(name))),
  ...extra,
});
