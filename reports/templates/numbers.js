// How numbers are written: the same as in the report's own texts.
function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  const minutes = Math.floor(whole / 60), rest = whole % 60;
  if (minutes < 120) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1000)} ms`;
  return seconds < 120 ? `${digits(seconds)} s` : clock(seconds);
}

function digits(value) {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

const percent = (ratio) => (ratio === null || ratio === undefined ? "–" : `${digits(100 * ratio)} %`);
const count = (value) => (value === null || value === undefined ? "–" : Math.round(value).toLocaleString("en"));
const rate = (value) => `${digits(value)}/s`;
