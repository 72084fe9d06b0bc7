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

  // Gradio's hidden button turns sending on and off. Its words are translated, so it keeps here what it does.
  const sending = () => stage(record)?.hasAttribute("data-sending");
  const turn = () => {
    stage(record).toggleAttribute("data-sending");
    stage(record).click();
  };

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

  const end = (stream) => stream?.getTracks().forEach((track) => track.stop());
  const release = () => {
    const video = stage("video");
    end(video?.srcObject);
    if (video) video.srcObject = null;
  };

  let wanted = false; // Start was pressed, and Stop not since
  let opening = false;
  let presses = 0;

  const note = (title, text = "") => {
    const place = document.getElementById("camera-state");
    place.hidden = !title;
    place.querySelector("strong").textContent = title;
    place.querySelector("p").textContent = text;
  };

  /* Says what the visitor waits for, until the first answer is there and whenever the server is busy. */
  const attend = async () => {
    const own = (presses += 1);
    const panel = document.getElementById("live-panel");
    const before = panel.textContent;
    let spun = 0;
    while (wanted && presses === own) {
      spun = stage('.button-wrap [title="spinner"]') ? spun + 1 : 0;
      if (spun > 8) note("Waiting", "Others are before you.");
      else if (panel.textContent === before) note("Opening the camera…");
      else note("");
      await later(250);
    }
    if (presses === own) note("");
  };

  const open = async (constraints) => {
    const stream = await navigator.mediaDevices.getUserMedia(constraints);
    if (!stage(record)) {
      const grant = await until(() => stage('[title="grant webcam access"] button'));
      if (grant) grant.click();
    }
    const button = await until(() => stage(record));
    const video = stage("video");
    if (!button || video.srcObject?.active) end(stream); // the first time Gradio opens the camera, too
    if (!button) throw new Error("press Start again");
    if (!video.srcObject?.active) {
      video.srcObject = stream;
      video.play();
    }
    await until(() => !wanted || video.videoWidth > 0);
    if (wanted) turn();
  };

  window.startCamera = async (constraints) => {
    say("");
    if (!window.isSecureContext || !navigator.mediaDevices) {
      say("This page came over plain http, so the browser keeps the camera closed.");
      return;
    }
    if (sending()) return;
    wanted = true;
    attend();
    if (opening) return;
    opening = true;
    try {
      await open(constraints);
    } catch (error) {
      say(reasons[error.name] || `The camera can't be opened: ${error.message}.`);
    }
    opening = false;
    if (!sending()) {
      wanted = false;
      release();
    }
  };

  window.stopCamera = () => {
    wanted = false;
    note("");
    if (sending()) turn();
    release();
  };

  /* Another room was chosen: the camera doesn't go on unseen. */
  window.leaveCamera = async () => {
    await later(100);
    const button = document.getElementById("live-stop");
    if (wanted && !button?.offsetParent) button?.click();
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
