/* Opens and closes cameras with one press each, says why it can't, and turns the theme. Presses are listened
   to here, as Gradio's own listeners do nothing while the server is away. */
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
      const button = document.getElementById("live-stop");
      if (!button?.offsetParent) { // another room was chosen: the camera doesn't go on unseen
        button?.click();
        break;
      }
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

  const stopCamera = () => {
    wanted = false;
    note("");
    if (sending()) turn();
    release();
  };

  /* Gradio's own cameras, of pictures to take, go on in a room that is left. */
  const closeUnseen = () => document.querySelectorAll("#rooms video").forEach((video) => {
    if (!video.srcObject || video.offsetParent || video.closest("#live-in")) return;
    end(video.srcObject);
    video.closest(".block")?.querySelector('button[aria-label="Upload file"]')?.click();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#live-stop")) stopCamera();
    if (event.target.closest?.('[role="tab"]')) setTimeout(closeUnseen, 100);
  }, true);

  /* A few words at the foot of the window, for some seconds. */
  const tell = (words) => {
    const notice = document.createElement("p");
    notice.id = "notice";
    notice.setAttribute("role", "alert");
    document.getElementById("notice")?.remove();
    document.body.append(notice);
    notice.textContent = words;
    setTimeout(() => notice.remove(), 8000);
  };

  // Gradio's own cameras say nothing when the browser refuses one.
  window.addEventListener("unhandledrejection", ({ reason }) => {
    if (reasons[reason?.name]) tell(reasons[reason.name]);
  });

  window.turnTheme = () => {
    const dark = document.body.classList.toggle("dark");
    try { localStorage.setItem("theme", dark ? "dark" : "light"); } catch (error) { /* private window */ }
  };

  // Gradio puts this script into the page when it has been loaded and has its own theme.
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch (error) { /* private window */ }
  if (kept && !location.search.includes("__theme")) document.body.classList.toggle("dark", kept === "dark");
})();
