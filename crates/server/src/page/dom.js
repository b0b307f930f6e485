// Elements made of text: nothing here reads markup.

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; a string is a text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  // Children first: with `dir="auto"` each one that comes has all of them looked at again.
  made.append(...children);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function button(label, act, attributes = {}) {
  const made = element("button", { type: "button", class: "small", ...attributes }, label);
  made.addEventListener("click", act);
  return made;
}

/** Shows what would act on a terminal or reorder the text around it, instead of letting it act. */
function visible(text) {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, (one) => {
    const code = one.charCodeAt(0);
    if (one === "\r") return "";
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/** Puts a text on the clipboard and says so on the button. */
async function copy(text, button) {
  const label = button.textContent;
  button.textContent = (await onClipboard(text)) ? "Copied" : "Not copied";
  announce(button.textContent);
  setTimeout(() => (button.textContent = label), 1500);
}

async function onClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS there is no `navigator.clipboard` but on this machine itself.
    const area = element("textarea", { class: "unseen" });
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    const before = document.activeElement;
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    before?.focus();
    return copied;
  }
}
