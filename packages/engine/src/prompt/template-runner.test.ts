// Templates under limits: none stops the engine, none fills the memory, each says what was wrong.
import { describe, expect, it } from 'vitest';
import { createFakeLibrary } from '../llama-cpp/native-library.fake.ts';
import { createChatTemplates } from './chat-templates.ts';
import { compileTemplate } from './template-runner.ts';

const run = (source: string, timeMs = 100): string => compileTemplate(source, { timeMs })({});

describe('compileTemplate', () => {
  it.each([
    '{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}',
    '{% set ns = namespace(l=[1]) %}{% for i in range(80) %}{% set ns.l = ns.l + ns.l %}{% endfor %}',
  ])('ends %s', (source) => {
    expect(() => run(source)).toThrow(/took more than 100 ms/);
  });

  it('refuses a range of a thousand million numbers, and output without end', () => {
    expect(() => run('{% for i in range(1000000000) %}{% endfor %}')).toThrow(/range/);
    const doubling =
      "{% set ns = namespace(s='ab') %}{% for i in range(23) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}";
    expect(() => run(doubling, 10_000)).toThrow(/characters/);
  });

  it('goes on after one was ended', () => {
    expect(() =>
      run('{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}', 20),
    ).toThrow();
    expect(run('{{ range(3) | join(",") }} {{ range(5, 1, -2) | join(",") }}')).toBe('0,1,2 5,3');
  });

  it('says what is wrong with one that does not parse', () => {
    expect(() => run('{% for %}')).toThrow(/./);
  });
});

describe('a template that comes with a request', () => {
  const model = createFakeLibrary().loadModel('model.gguf');
  const templates = createChatTemplates(model);
  const prompt = (chat_template?: string) => ({
    kind: 'messages' as const,
    messages: [{ role: 'user' as const, content: 'hi' }],
    ...(chat_template === undefined ? {} : { chat_template }),
  });
  const render = (source?: string): string =>
    templates
      .of(prompt(source))
      .render(prompt().messages)
      .map(({ text }) => text)
      .join('');

  it('takes the place of the model’s own', () => {
    expect(render('[{{ messages[0].content }}]')).toBe('[hi]');
    expect(render()).toContain('<|im_start|>');
  });

  it('is compiled once', () => {
    const source = '{{ messages[0].content }}';
    expect(templates.of(prompt(source))).toBe(templates.of(prompt(source)));
  });

  it('is refused by name when it does not parse, and as such when it does not run', () => {
    expect(() => render('{% for %}')).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'chat_template' }),
    );
    expect(() => render("{{ raise_exception('no users') }}")).toThrow(/no users/);
    expect(() => render('no content')).toThrow(/leaves out message 0/);
  });
});
