"use strict";
// "Your case": shows the answers that a reader chose, lights up their verdicts and evidence, and keeps
// them in the address. What each answer asks for was worked out before; nothing is worked out here
// but which of them were chosen.
{
  const PREFIX = "#case:";
  const form = document.getElementById("case-form");
  const told = document.getElementById("case-told");
  const all = document.getElementById("case-all");
  const rows = [...document.querySelectorAll("#case-table .answer-row")];
  const bodies = [...document.querySelectorAll("#case-table tbody")];
  const links = row => [...row.querySelectorAll(".evidence a")];

  const chosen = () => {
    const answers = new FormData(form);
    return rows.filter(row => answers.get(row.dataset.question) === row.dataset.answer);
  };
  const joined = texts => (texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`);
  const because = (picked, points) => joined(picked.filter(row => row.dataset.points === points).map(row => row.dataset.short));

  const sentence = picked => {
    if (!picked.length) return "";
    const [task, lease, neither, open] = ["task", "lease", "neither", "open"].map(points => because(picked, points));
    const short = rows => joined(rows.map(row => row.dataset.short));
    const asking = points => picked.filter(row => row.dataset.points === points);
    const refused = asking("no-journal"), durable = asking("journal");
    // Without a journal, or where a queue is needed anyway, what it would do falls to the queue.
    const instead = row => refused.length || (asking("queue").length && "queueToo" in row.dataset);
    const fallen = durable.filter(instead);
    const queue = short([...asking("queue"), ...fallen, ...(fallen.length ? refused : [])]);
    const journal = short(durable.filter(row => !instead(row)));
    const parts = [];
    if (queue && (task || journal)) {
      parts.push(`Your answers pull apart. For a queue: ${queue}.`);
      if (journal) parts.push(`For a journalled task: ${journal}.`);
      if (task) parts.push(`For the app alone: ${task}.`);
    } else if (queue) parts.push(`A queue is called for: ${queue}.`);
    else if (journal) parts.push(`A journalled task is called for: ${journal}.${task ? ` The app alone will do for: ${task}.` : ""}`);
    else if (task && !neither) parts.push(`The app alone will do, and more: ${task}.`);
    else if (task) parts.push(`For the app alone: ${task}.`);
    if (lease) parts.push(`A lease is called for, on either side: ${lease}.`);
    if (neither) parts.push(`More than any side gave here: ${neither}.`);
    if (open) parts.push(`Not told by this run: ${open}.`);
    if (!parts.length) parts.push("Nothing in your answers asks for a queue: a supervised task in the app is enough.");
    const left = bodies.length - picked.length;
    if (left) parts.push(`${left} of ${bodies.length} questions not answered.`);
    return parts.join(" ");
  };

  const show = () => {
    const picked = chosen();
    const whole = all.getAttribute("aria-expanded") === "true";
    for (const row of rows) {
      row.hidden = !whole && !picked.includes(row);
      row.classList.toggle("lit", picked.includes(row));
    }
    for (const body of bodies) body.hidden = !whole && !picked.some(row => body.contains(row));
    document.getElementById("case-table").parentElement.hidden = !whole && !picked.length;
    all.textContent = whole ? "Show only your answers" : "Show every answer";
    const verdicts = new Set(picked.map(row => row.dataset.verdict));
    for (const verdict of document.querySelectorAll(".verdict")) {
      const lit = verdicts.has(verdict.dataset.scenario);
      verdict.classList.toggle("lit", lit);
      verdict.querySelector(".yours").hidden = !lit;
    }
    const at = new Set(picked.flatMap(links).map(link => link.hash.slice(1)));
    for (const old of document.querySelectorAll(".lit-evidence")) old.classList.remove("lit-evidence");
    for (const id of at) document.getElementById(id)?.classList.add("lit-evidence");
    const said = sentence(picked);
    if (told.textContent !== said) told.textContent = said;
  };

  const keep = () => {
    const answers = chosen().map(row => `${row.dataset.question}=${row.dataset.answer}`);
    history.replaceState(null, "", PREFIX + answers.join("&"));
  };
  const recall = () => {
    if (!location.hash.startsWith(PREFIX)) return;
    form.reset();
    for (const [name, value] of new URLSearchParams(location.hash.slice(PREFIX.length))) {
      for (const input of form.querySelectorAll("input")) {
        if (input.name === name && input.value === value) input.checked = true;
      }
    }
    show();
    document.getElementById("case").scrollIntoView();
  };
  // A link into what is folded opens it.
  const unfold = () => {
    let found = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    const target = found;
    for (; found; found = found.parentElement) if (found.tagName === "DETAILS") found.open = true;
    if (target) target.scrollIntoView();
  };

  form.addEventListener("change", () => { show(); keep(); });
  form.addEventListener("reset", () => setTimeout(() => { show(); keep(); }));
  all.addEventListener("click", () => {
    all.setAttribute("aria-expanded", String(all.getAttribute("aria-expanded") !== "true"));
    show();
  });
  addEventListener("hashchange", () => { recall(); unfold(); });
  form.hidden = false;
  all.parentElement.hidden = false;
  show();
  recall();
  unfold();
}
