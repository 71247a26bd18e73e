// The form of a new game remembers the person's name in this browser.
const name = document.getElementById("name");
name.value ||= localStorage.getItem("marl-name") ?? ""; // what was typed before this script came stays
name.form.addEventListener("submit", () => localStorage.setItem("marl-name", name.value.trim()));
