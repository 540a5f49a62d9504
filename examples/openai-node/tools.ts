// A model that calls a function: it is asked, says what to call, and answers with the result. The call is
// held to the schema while it is written, so that any model can do it.
//   OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... node tools.ts MODEL QUESTION
import OpenAI from 'openai';

const [model = 'ferry', ...words] = process.argv.slice(2);
const question = words.length > 0 ? words.join(' ') : 'Is there room for a car at nine?';
const openai = new OpenAI();

/** What the model may call. */
const functions: Record<string, (given: { time?: string }) => unknown> = {
  free_places: ({ time = '09:00' }) => ({ time, cars: 3, passengers: 41 }),
};
const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'free_places',
      description: 'Free places on the ferry that leaves at a time.',
      strict: true,
      parameters: {
        type: 'object',
        properties: { time: { type: 'string', description: 'as 09:00' } },
        required: ['time'],
        additionalProperties: false,
      },
    },
  },
];

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: question }];
const asked = await openai.chat.completions.create({
  model,
  messages,
  tools,
  tool_choice: 'required',
  max_tokens: 200,
});
const [choice] = asked.choices;
if (choice?.finish_reason !== 'tool_calls') throw new Error(`ended by ${choice?.finish_reason}`);
messages.push(choice.message);
for (const call of choice.message.tool_calls ?? []) {
  if (call.type !== 'function') continue;
  const { name, arguments: given } = call.function;
  console.log(`${name}(${given})`);
  const result = functions[name]?.(JSON.parse(given));
  messages.push({ role: 'tool', tool_call_id: call.id, content: JSON.stringify(result ?? null) });
}
const answered = await openai.chat.completions.create({
  model,
  messages,
  tools,
  tool_choice: 'none',
  max_tokens: 200,
});
console.log(answered.choices[0]?.message.content);
