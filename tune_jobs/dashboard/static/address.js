// The fragment of the address: which page is shown, and how. A link to it shows the same again.
//
//   #/?sort=best&find=...        the list of studies
//   #/study/KEY?sort=value&...   one study, with what its table shows; in its figures
//                                (figure.NAME.CHOICE=...), and whether all are shown (more=1)
//   #/study/KEY/trial/37         one trial
//   #/study/KEY/run/final-1      one final run
//   #/study/KEY/enqueue?from=37  the form for a configuration, filled from a trial, or "best"
//   #/study/KEY/train/37         a final run of a trial
//   #/compare/KEY,KEY?x=time&...  studies compared, with what the figures show
//   #/compare-trials/KEY:12,KEY:40  trials compared, also of several studies

/**
 * Return the address of the page of a trial, or of a final run.
 *
 * @param {string} key
 * @param {number | string} id Number of a trial, or name of a final run.
 */
export const trialAddress = (key, id) =>
  `#/study/${key}/${typeof id === "number" ? "trial" : "run"}/${encodeURIComponent(id)}`;

/**
 * Return the parts of the path, and the query.
 *
 * @returns {{path: string, query: URLSearchParams}}
 */
export function readAddress() {
  const [path, query = ""] = location.hash.slice(1).split("?");
  return { path: path || "/", query: new URLSearchParams(query) };
}

/**
 * Put what a page shows into the address.
 *
 * @param {string} path
 * @param {Record<string, string>} query Settings that are not the default.
 * @param {boolean} isStep Whether the browser's button "back" returns to what was shown before.
 */
export function writeAddress(path, query, isStep) {
  const now = readAddress();
  const kept = now.path === path ? [...now.query].filter(isFigureSetting) : [];
  write(path, [...Object.entries(query), ...kept], isStep);
}

/**
 * Put what is chosen in figures into the address; the other settings stay.
 *
 * @param {URLSearchParams} settings
 */
export function writeFigureSettings(settings) {
  const { path, query } = readAddress();
  const others = [...query].filter((setting) => !isFigureSetting(setting));
  write(path, [...others, ...[...settings].filter(isFigureSetting)], true);
}

/** @param {[string, string]} setting */
const isFigureSetting = ([name]) => name === "more" || name.startsWith("figure.");

/**
 * @param {string} path
 * @param {[string, string][]} settings
 * @param {boolean} isStep
 */
function write(path, settings, isStep) {
  const search = new URLSearchParams(settings).toString();
  const address = `#${path}${search ? `?${search}` : ""}`;
  if (address === location.hash) return;
  if (isStep) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
}
