// Text on which tokenizers disagree when one of them is wrong: Unicode, code, runs of white space, scripts
// without spaces, emoji, look-alike control tokens, random bytes of a fixed seed. Knows no tokenizer.

export const writtenTexts: readonly string[] = [
  'Hello world!',
  'hello',
  ' hello',
  '  hello',
  'hello ',
  "Hello, y'all! How are you 😁 ?我想在apple工作1314151天～",
  "I'm, you're, we've, they'll, he'd, IT'S, WE'RE and don't",
  'The 3 quick foxes paid $1,234.56 on 2024-12-31 at 09:05:59.',
  '3 33 333 3333 33333 333333 3333333 1234567890',
  '\t',
  '\n',
  '\n\n',
  '\n\n\n',
  '\t\t',
  '\r\n',
  '\r',
  ' ',
  '  ',
  '   ',
  '    ',
  '     ',
  '          ',
  'a\tb',
  'a\t\tb\n',
  'a \n b',
  'a\n \nb',
  ' \n \n',
  'trailing   \n\n   leading',
  'def f(x):\n    if x > 0:\n        return x ** 2\n\treturn {"a": [1, 2, 3]}\n',
  'for (let i = 0; i < n; i++) { a[i] += b[i] && ~c | d ^ e; } // ¯\\_(ツ)_/¯',
  '#include <stdio.h>\nint main(void) { printf("%d\\n", 0x1F); }\r\n',
  'SELECT * FROM "t" WHERE x <> \'y\' AND z >= 10;',
  'https://example.org/path?q=1&r=%20#frag user@example.org',
  '你好，世界！今天的天气很好。',
  '日本語のテキストとカタカナ',
  '한국어 문장입니다',
  'ไทยไม่มีช่องว่าง',
  'Привет, мир! Ёлка и объём',
  'Ελληνικά με τόνους',
  'עברית עם ניקוד שָׁלוֹם',
  'العربية مع ١٢٣ أرقام',
  'हिन्दी में वाक्य २०२४',
  'ﷺ ﬁ ﬂ Å Å é é ñ ñ',
  'naïve façade coöperate Straße ÆØÅ',
  '😀',
  '👩‍👩‍👧‍👦',
  '🏳️‍🌈 🇩🇪🇯🇵',
  '👍🏽👍🏿',
  '🤖🤖🤖   🤖',
  'a😀b',
  '½ ¼ ² ³ ① Ⅳ ٣ 三 百',
  '… — – ‘single’ “double” «guillemets»',
  '€ £ ¥ ₿ © ® ™ § ¶ † ‡',
  'zero​width​space',
  'no break space',
  '　ideographic　space',
  'line paragraph sep',
  'next line',
  'bom\u{FEFF}inside',
  '\u{FEFF}bom first',
  'soft­hyphen',
  'e\u0301\u0323\u0301',
  'Z̷̢͎a̸͝l̵̥g̶͚o̵̓',
  '\u0000nul\u0001ctrl\u001f\u007f',
  '<s>',
  '</s>',
  '<unk>',
  '<s>text</s>',
  'a<s>b',
  '<s',
  's>',
  '<<s>>',
  '[INST] hi [/INST]',
  '<<SYS>>\nx\n<</SYS>>',
  '<|im_start|>',
  '<|im_end|>',
  '<|im_start|>user\nhi<|im_end|>\n',
  '<|endoftext|>',
  '<|begin_of_text|>',
  '<|eot_id|>',
  '<|im_start',
  'im_end|>',
  '<0x0A>',
  '<0x41>',
  '<0xFF>',
  '▁',
  '▁▁',
  ' ▁ ',
  'a▁b',
  'Ġ',
  'ĠtheĠ',
  'Ċ',
  'ĉ',
  'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
  '========================================',
  '----',
  '.....',
  '!!!!!',
  '##########',
  '\\\\\\\\',
  'hahahahahahaha',
  'ababababab',
  'xyxyxyxyxyxyxyxyx',
  'IT WAS THE BEST OF TIMES, It Was The Worst, camelCaseWords, snake_case_words, kebab-case-words',
  'supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis',
  '\u{10FFFF}',
  '\u{E000}\u{F8FF}',
  '𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛',
  '𐍈𐌰𐌹',
  '𓀀𓁐',
  '꧁༺ text ༻꧂',
];

/** mulberry32: small, and the same on every machine. */
function makeRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const alphabets = [
  'abcdefghijklmnopqrstuvwxyz     ',
  ' \t\n\r  \n',
  'aeiou .,;!?\'"-_()[]{}<>|/\\@#$%^&*+=~`0123456789',
  'äöüßéèêçñøåæœ ',
  '你我他的是不了人在有中大来上个国说们为子',
  '<s></s>|im_start|im_end ',
];

/** `count` strings of up to 60 characters, each from one to three alphabets or from all of Unicode. */
function randomStrings(count: number): string[] {
  const random = makeRandom(20_240_607);
  const below = (limit: number): number => Math.floor(random() * limit);
  const anywhere = (): string => {
    const codePoint = below(0x30000);
    return codePoint >= 0xd800 && codePoint < 0xe000 ? '?' : String.fromCodePoint(codePoint);
  };
  return Array.from({ length: count }, () => {
    const letters = Array.from({ length: 1 + below(3) }, () => alphabets[below(6)] ?? '').join('');
    const points = Array.from(letters);
    const wild = random() < 0.2;
    const length = 1 + below(60);
    return Array.from({ length }, () =>
      wild && random() < 0.5 ? anywhere() : (points[below(points.length)] ?? ' '),
    ).join('');
  });
}

export const tokenizerCorpus: readonly string[] = [
  ...writtenTexts,
  writtenTexts.join(' '),
  ...Array.from({ length: 40 }, (_, spaces) => `${' '.repeat(spaces)}x${'\n'.repeat(spaces)}`),
  ...randomStrings(400),
];
