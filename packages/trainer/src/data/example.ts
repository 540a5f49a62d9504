// What a training example is before it is tokenised, whatever format it came in. Every reader of
// `data/formats` turns its rows into one of these; nothing after this file knows formats.

export type MessageRole = 'system' | 'user' | 'assistant' | 'tool';

export interface ToolCall {
  readonly id?: string;
  readonly type: 'function';
  /** Arguments as a value: templates print them with `tojson`. */
  readonly function: { readonly name: string; readonly arguments: unknown };
}

export interface ChatMessage {
  readonly role: MessageRole;
  readonly content: string;
  /** Loss weight of an assistant message, 0..1; OpenAI's `weight`. */
  readonly weight?: number;
  readonly name?: string;
  readonly tool_calls?: readonly ToolCall[];
  readonly tool_call_id?: string;
}

export interface ChatExample {
  readonly kind: 'chat';
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly unknown[];
}

/** Plain text: every token is learned, no template. */
export interface TextExample {
  readonly kind: 'text';
  readonly text: string;
  /** False for a later part of a document that was read in parts. */
  readonly opens?: boolean;
  /** False when the document goes on. */
  readonly closes?: boolean;
}

/** A prompt with two answers, of which the first is preferred; messages carry no weights. */
export interface PreferenceExample {
  readonly kind: 'preference';
  readonly prompt: readonly ChatMessage[];
  /** Begins with an assistant message and ends with one, as does `rejected`. */
  readonly chosen: readonly ChatMessage[];
  readonly rejected: readonly ChatMessage[];
  readonly tools?: readonly unknown[];
}

export type Example = ChatExample | TextExample | PreferenceExample;
