/** Where a video is shown, and whether sharpening it there is worth the work. */

// Sharpened pictures are no larger than this many pixels, and than this many times what arrives: beyond, a larger model on
// fewer pixels gives more than a small one on all of them, and the browser enlarges the rest.
const PIXELS_MAX = 1280 * 720;
const ENLARGED_MAX = 2;
const WIDTH_MIN = 120;
// A video that is shown smaller than this share of its own width has nothing to gain.
const SHRUNK = 0.7;
// Sizes go in steps, so that a layout that breathes does not start everything anew.
const STEP = 16;
const COPIED = ["object-fit", "object-position", "transform", "transform-origin", "border-radius", "filter", "opacity",
  "clip-path", "z-index"];

/** Whether the video shows a received stream and is large enough to look at. */
export function isCandidate(video) {
  const media = video.srcObject;
  if (!(media instanceof MediaStream) || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return false;
  const [track] = media.getVideoTracks();
  // Only a camera of this computer belongs to a group of devices.
  if (!track || track.readyState === "ended" || "groupId" in track.getSettings()) return false;
  return video.isConnected && video.offsetWidth >= WIDTH_MIN && shown(video);
}

function shown(video) {
  const box = video.getBoundingClientRect();
  const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  return inside && video.checkVisibility({ opacityProperty: true, visibilityProperty: true });
}

/**
 * The size that the video's picture has on the screen, in device pixels, no larger than is sharpened; null where it is
 * shown so small that nothing would be seen of it.
 */
export function sizeOnScreen(video) {
  const { videoWidth, videoHeight } = video;
  if (!videoWidth || !videoHeight) return null;
  const across = (video.offsetWidth * devicePixelRatio) / videoWidth;
  const down = (video.offsetHeight * devicePixelRatio) / videoHeight;
  const fit = getComputedStyle(video).objectFit;
  const factor = fit === "cover" ? Math.max(across, down) : Math.min(across, down);
  if (factor < SHRUNK) return null;
  const most = Math.sqrt(PIXELS_MAX / (videoWidth * videoHeight));
  const used = Math.max(1, Math.min(factor, most, ENLARGED_MAX));
  return { width: STEP * Math.ceil((videoWidth * used) / STEP), height: STEP * Math.ceil((videoHeight * used) / STEP) };
}

/** Lay the canvas exactly over the video, in the same place of the page's order. */
export function follow(video, canvas) {
  if (video.nextSibling !== canvas) video.after(canvas);
  const style = getComputedStyle(video);
  const [box, own] = [video.getBoundingClientRect(), canvas.getBoundingClientRect()];
  // Whole pixels, unless the video is neither turned nor enlarged and its box tells the fractions.
  const plain = style.transform === "none" && Math.abs(box.width - video.offsetWidth) < 1;
  const at = (name) => Number.parseFloat(canvas.style.getPropertyValue(name)) || 0;
  write(canvas, {
    position: "absolute",
    left: `${plain ? at("left") + box.left - own.left : video.offsetLeft}px`,
    top: `${plain ? at("top") + box.top - own.top : video.offsetTop}px`,
    width: `${plain ? box.width : video.offsetWidth}px`,
    height: `${plain ? box.height : video.offsetHeight}px`,
    margin: "0",
    padding: "0",
    border: "0 none",
    "box-sizing": "border-box",
    "min-width": "0",
    "min-height": "0",
    "max-width": "none",
    "max-height": "none",
    "pointer-events": "none",
    display: "block",
    background: "none",
    ...Object.fromEntries(COPIED.map((name) => [name, style.getPropertyValue(name)])),
  });
}

function write(canvas, wanted) {
  const { style } = canvas;
  canvas.keenframeStyle ??= {};
  for (const [name, value] of Object.entries(wanted)) {
    // What the browser makes of a value reads differently, so what was written is compared.
    if (canvas.keenframeStyle[name] === value) continue;
    canvas.keenframeStyle[name] = value;
    style.setProperty(name, value, "important");
  }
}
