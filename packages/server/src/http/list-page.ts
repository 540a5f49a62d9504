// OpenAI's lists: a page of rows with cursors. Stores ask for one row more than the page to know whether
// there is more.

// A type, not an interface: OpenAI's list schema allows further keys, and only types are checked so.
export type ListPage<T> = {
  readonly object: 'list';
  readonly data: T[];
  readonly has_more: boolean;
  readonly first_id: string | null;
  readonly last_id: string | null;
};

/** A page from at most `limit + 1` items. */
export function toListPage<T extends { readonly id: string }>(
  items: readonly T[],
  limit: number,
): ListPage<T> {
  const data = items.slice(0, limit);
  return {
    object: 'list',
    data,
    has_more: items.length > limit,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}
