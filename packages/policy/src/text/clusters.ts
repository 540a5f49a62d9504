// Cuts text into grapheme clusters (UAX #29) as it arrives: the unit that is normalised, matched,
// released and redacted, so that nothing is ever cut inside a character a reader sees. A boundary is
// reported only when the text after it can no longer move it.

/**
 * Longest cluster in UTF-16 units. Real ones are shorter (a family emoji with skin tones has 19); longer
 * ones are smuggling or decoration, and holding them back without limit would stall the stream.
 */
export const maxClusterUnits = 64;

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

/**
 * Units between two of which there is always a boundary (CR LF excepted): neither extends, joins nor
 * prepends. A short list of the common ones; everything else asks Intl.Segmenter.
 */
function isPlain(unit: number): boolean {
  if (unit < 0x300) return true;
  if (unit < 0x530) return unit >= 0x370 && (unit <= 0x482 || unit >= 0x48a);
  if (unit < 0x3041)
    return (unit >= 0x2010 && unit <= 0x2027) || (unit >= 0x3000 && unit <= 0x3029);
  if (unit < 0x3400) return unit <= 0x3096 || (unit >= 0x30a1 && unit <= 0x30fa);
  return (
    unit <= 0x4dbf ||
    (unit >= 0x4e00 && unit <= 0x9fff) ||
    (unit >= 0xac00 && unit <= 0xd7a3) ||
    (unit >= 0xff01 && unit <= 0xff9d)
  );
}

function segmentedEnd(text: string, from: number, ended: boolean): number {
  let slice = text.slice(from, from + maxClusterUnits + 2);
  // Half a surrogate pair says nothing yet about the character it begins.
  const cutPair = isHighSurrogate(slice.charCodeAt(slice.length - 1));
  if (cutPair && (!ended || from + slice.length < text.length)) slice = slice.slice(0, -1);
  const [first] = segmenter.segment(slice);
  const length = first?.segment.length ?? 0;
  if (length >= maxClusterUnits) {
    const splitsPair =
      isHighSurrogate(slice.charCodeAt(maxClusterUnits - 1)) &&
      isLowSurrogate(slice.charCodeAt(maxClusterUnits));
    return from + maxClusterUnits - (splitsPair ? 1 : 0);
  }
  return length < slice.length || ended ? from + length : -1;
}

/**
 * End of the cluster that starts at `from`, or -1 when more text is needed to know it. `from` must be a
 * boundary. `ended` says that nothing follows `text`.
 */
export function clusterEnd(text: string, from: number, ended: boolean): number {
  const left = text.length - from;
  if (left === 0 || (left === 1 && !ended)) return -1;
  if (from + 1 < text.length) {
    const [unit, next] = [text.charCodeAt(from), text.charCodeAt(from + 1)];
    if (isPlain(unit) && isPlain(next) && !(unit === 0x0d && next === 0x0a)) return from + 1;
  }
  return segmentedEnd(text, from, ended);
}
