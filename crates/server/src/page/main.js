// The beginning.

makeCards();
startChat();
startSignIn();
startWatch();

// The page itself was refused: no need to ask for anything else to know that a key is wanted.
const [navigation] = performance.getEntriesByType("navigation");
if (navigation?.responseStatus === 401 && key === null) signIn();
else look();
