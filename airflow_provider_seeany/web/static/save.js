/** Downloading many files one by one, as far as their sites allow a page of another site to read them. */

/**
 * Save files to the viewer's disk; of those that may not be read, a list of their URLs.
 * @param {{ url: string, name: string }[]} files
 * @param {(number: number) => void} onNext called with the number of each file before it is fetched
 * @returns {Promise<number>} how many are only listed
 */
export async function saveAll(files, onNext) {
  const refused = [];
  for (const [index, { url, name }] of files.entries()) {
    onNext(index + 1);
    try {
      const response = await fetch(url, { credentials: "omit", referrerPolicy: "no-referrer" });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      save(await response.blob(), name);
    } catch {
      refused.push(url);
    }
  }
  if (refused.length > 0) save(new Blob([`${refused.join("\n")}\n`], { type: "text/plain" }), "urls.txt");
  return refused.length;
}

/** @param {Blob} content @param {string} name */
function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  // The browser reads the content after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * The name of a file on disk: the SeeAny id, its number, and the ending of its URL.
 * @param {string} id @param {number} number @param {string} url
 */
export function fileName(id, number, url) {
  const ending = /\.[a-z0-9]{1,5}$/i.exec(new URL(url).pathname)?.[0] ?? "";
  return `${id.replace(/[^\w.-]+/g, "_").slice(0, 100)}-${number}${ending}`;
}
