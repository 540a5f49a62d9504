// Stage 8: what to do next, as commands and code that work as they stand. Pure.
export interface NextSteps {
  /** Root of the server that stays, or null when everything is shut down. */
  readonly baseUrl: string | null;
  readonly home: string;
  readonly alias: string;
  readonly question: string;
  /** CORRAL_HOME is not the default and must be said. */
  readonly homeIsSet: boolean;
}

const shellQuote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export interface Snippets {
  readonly shell: string;
  readonly curl: string;
  readonly python: string;
  readonly typescript: string;
}

/** The snippets; the two variables of `shell` are what both official clients read by themselves. */
export function snippets({ baseUrl, home, alias, question }: NextSteps): Snippets {
  const url = `${baseUrl ?? 'http://127.0.0.1:7788'}/v1`;
  const credentials = `${home}/credentials.json`;
  const read = `JSON.parse(require("fs").readFileSync(${JSON.stringify(credentials)})).api_key`;
  const model = JSON.stringify(alias);
  const content = JSON.stringify(question);
  const body = `{"model": ${model}, "messages": [{"role": "user", "content": ${content}}]}`;
  return {
    shell: `export OPENAI_BASE_URL=${url}\nexport OPENAI_API_KEY=$(node -p ${shellQuote(read)})`,
    curl: `curl -s "$OPENAI_BASE_URL/chat/completions" \\\n  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\\n  -d ${shellQuote(body)}`,
    python: `from openai import OpenAI\n\nanswer = OpenAI().chat.completions.create(\n    model=${model}, messages=[{"role": "user", "content": ${content}}]\n)\nprint(answer.choices[0].message.content)`,
    typescript: `import OpenAI from 'openai';\n\nconst answer = await new OpenAI().chat.completions.create({\n  model: ${model}, messages: [{ role: 'user', content: ${content} }],\n});\nconsole.log(answer.choices[0]?.message.content);`,
  };
}

/** The whole of stage 8, one titled block after another. */
export function nextStepBlocks(
  steps: NextSteps,
): readonly { readonly title: string; readonly text: string }[] {
  const { shell, curl, python, typescript } = snippets(steps);
  const prefix = steps.homeIsSet ? `CORRAL_HOME=${shellQuote(steps.home)} ` : '';
  const serve = `${prefix}npx corral serve`;
  return [
    ...(steps.baseUrl === null
      ? [{ title: 'Start the server again (this one is shut down); leave it running', text: serve }]
      : []),
    { title: 'Talk to your model', text: `${prefix}npx corral chat ${steps.alias}` },
    { title: 'Or from any program: say once where and who', text: shell },
    { title: 'curl', text: curl },
    { title: 'Python (pip install openai)', text: python },
    { title: 'TypeScript (npm install openai)', text: typescript },
    {
      title: 'Your own data',
      text: `${prefix}npx corral quickstart --data my-examples.jsonl`,
    },
  ];
}
