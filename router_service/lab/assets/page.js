"use strict";
// Shows and hides prompts; every text is in the page already and is only ever read.
const filters = document.getElementById("filters");
const feature = document.getElementById("feature");
const apart = document.getElementById("apart");
const failed = document.getElementById("failed");
const words = document.getElementById("words");
const count = document.getElementById("count");
const prompts = [...document.querySelectorAll(".prompt")];

function show() {
  const wanted = words.value.trim().toLowerCase();
  let shown = 0;
  for (const prompt of prompts) {
    const fits =
      (feature.value === "*" || prompt.dataset.feature === feature.value) &&
      (!apart.checked || "apart" in prompt.dataset) &&
      (!failed.checked || "failed" in prompt.dataset) &&
      (!wanted || prompt.textContent.toLowerCase().includes(wanted));
    prompt.hidden = !fits;
    shown += fits;
  }
  count.textContent = `${shown} of ${prompts.length} prompts`;
}

filters.hidden = false;
filters.addEventListener("input", show);
show();
