// An answer that is data: the schema is held to token by token, and the client checks and types it.
//   OPENAI_BASE_URL=http://127.0.0.1:7788/v1 OPENAI_API_KEY=sk-corral-... node structured-output.ts MODEL TEXT
import OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const [model = 'ferry', ...words] = process.argv.slice(2);
const text =
  words.length > 0 ? words.join(' ') : 'Please book two adults and a car for the boat at nine.';

const Booking = z.object({
  passengers: z.int(),
  vehicle: z.enum(['none', 'bicycle', 'car']),
  departure: z.string(),
});

const { choices } = await new OpenAI().chat.completions.parse({
  model,
  messages: [{ role: 'user', content: text }],
  response_format: zodResponseFormat(Booking, 'booking'),
  max_tokens: 200,
});
const booking = choices[0]?.message.parsed;
console.log(`${booking?.passengers} passengers, ${booking?.vehicle}, at ${booking?.departure}`);
