/* Opens and closes the camera with one press each, says why it can't, and turns the theme. */
(() => {
  const later = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const stage = (selector) => document.querySelector(`#live-in ${selector}`);
  const record = 'button[aria-label="capture photo"]';

  const until = async (find, tries = 60) => {
    for (let count = 0; count < tries; count += 1) {
      const found = find();
      if (found) return found;
      await later(50);
    }
    return null;
  };

  const recording = () => stage(record) && !stage(record).textContent.includes("Record");

  const say = (words) => {
    const place = document.getElementById("camera-trouble");
    place.textContent = words;
    place.closest("details").open = words !== "";
  };

  const reasons = {
    NotAllowedError: "This page may not use the camera.",
    NotFoundError: "There is no camera.",
    NotReadableError: "The camera is busy in another program.",
  };

  window.startCamera = async () => {
    say("");
    if (!window.isSecureContext || !navigator.mediaDevices) {
      say("This page came over plain http, so the browser keeps the camera closed.");
      return;
    }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: true });
      stream.getTracks().forEach((track) => track.stop());
    } catch (error) {
      say(reasons[error.name] || `The camera can't be opened: ${error.message}.`);
      return;
    }
    if (recording()) return;
    if (!stage(record)) {
      const open = await until(() => stage('[title="grant webcam access"] button'));
      if (open) open.click();
    }
    const button = await until(() => stage(record));
    if (!button) {
      say("The camera can't be opened.");
      return;
    }
    await until(() => stage("video") && stage("video").videoWidth > 0);
    button.click();
  };

  window.stopCamera = () => {
    if (recording()) stage(record).click();
  };

  window.turnTheme = () => {
    const dark = document.body.classList.toggle("dark");
    try { localStorage.setItem("theme", dark ? "dark" : "light"); } catch (error) { /* private window */ }
  };

  window.addEventListener("load", () => {
    let kept = null;
    try { kept = localStorage.getItem("theme"); } catch (error) { /* private window */ }
    if (kept && !location.search.includes("__theme")) document.body.classList.toggle("dark", kept === "dark");
  });
})();
