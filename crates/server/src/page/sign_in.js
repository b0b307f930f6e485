// The key, where the server wants one.

/** Asks for the key, and shows nothing of the server. */
function signIn(why = "") {
  stop();
  byId("app").hidden = true;
  byId("sign-in").hidden = false;
  document.title = "mxfp4";
  history.clear();
  complain(why);
  byId("key").focus();
}

const isSignedOut = () => !byId("sign-in").hidden;

function complain(why) {
  byId("sign-in-error").textContent = why;
  byId("key").toggleAttribute("aria-invalid", why !== "");
}

function showApp() {
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
  byId("sign-out").hidden = key === null;
}

/** Why this key will not do; nothing where it does. */
async function objection(candidate) {
  // Other characters cannot be sent.
  if (!/^[\x21-\x7e]+$/.test(candidate)) return "A key has letters, digits and signs, and no spaces.";
  key = candidate;
  try {
    await ask("/v1/models");
    return "";
  } catch (error) {
    if (error.status === 401) return "This key is not right. Check it and enter it again.";
    // The key was right, and the model is not there.
    if (error.status === 503) return "";
    return error instanceof Refused ? sentence(error.message) : "The server does not answer. Try again.";
  }
}

async function tryKey(event) {
  event.preventDefault();
  const field = byId("key");
  byId("sign-in-button").disabled = true;
  const candidate = field.value.trim();
  const why = await objection(candidate);
  byId("sign-in-button").disabled = false;
  if (why) {
    remember(null);
    complain(why);
    field.select();
    return field.focus();
  }
  remember(candidate);
  field.value = "";
  complain("");
  showApp();
  byId("question").focus();
  look();
}

function startSignIn() {
  byId("sign-in-form").addEventListener("submit", tryKey);
  byId("sign-out").addEventListener("click", () => {
    remember(null);
    newChat();
    signIn();
  });
}
