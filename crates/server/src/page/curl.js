// A request as a command for a shell.

/** Characters that end the shell's quotes, or that a reader cannot see or sees elsewhere: escapes in JSON. */
const UNSEEN = /['\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** What is read is what runs, with the key filled in by the shell. */
function curlOf(body) {
  const json = JSON.stringify(body, null, 2).replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const lines = [`curl -N ${location.origin}/v1/chat/completions`, "-H 'Content-Type: application/json'"];
  if (key !== null) lines.push('-H "Authorization: Bearer $MXFP4_API_KEY"');
  lines.push(`-d '${json}'`);
  return lines.join(" \\\n  ");
}

function showCurl(body) {
  byId("curl-text").textContent = curlOf(body);
  byId("curl").showModal();
}
