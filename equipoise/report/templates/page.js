"use strict";
(() => {
  const plots = [...document.querySelectorAll(".plot")];
  const figures = new Map(plots.map((plot) => [plot, JSON.parse(plot.firstElementChild.textContent)]));
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function theme() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const axis = (name) => ({
      [`${name}.gridcolor`]: value("--rule"), [`${name}.linecolor`]: value("--rule"),
      [`${name}.zerolinecolor`]: value("--rule"), [`${name}.tickcolor`]: value("--rule"),
    });
    return {
      "font.color": value("--text"), "font.family": getComputedStyle(document.body).fontFamily,
      "hoverlabel.bgcolor": value("--raised"), "hoverlabel.font.color": value("--text"),
      "hoverlabel.bordercolor": value("--rule"), ...axis("xaxis"), ...axis("yaxis"),
    };
  }

  async function draw(plot) {
    const { data, layout } = figures.get(plot);
    plot.textContent = "";
    await Plotly.newPlot(plot, data, layout, { responsive: true, displayModeBar: false });
    await dress(plot);
    plot.dataset.drawn = "yes";
  }

  async function dress(plot) {
    const ink = plot.data.flatMap((trace, i) => (trace.meta === "ink" ? [i] : []));
    const colour = getComputedStyle(document.body).color;
    if (ink.length) await Plotly.restyle(plot, { "line.color": colour, "marker.color": colour }, ink);
    await Plotly.relayout(plot, theme());
  }

  const folded = (plot) => plot.closest("details:not([open])") !== null;
  plots.filter((plot) => !folded(plot)).forEach(draw);
  document.querySelectorAll("details").forEach((details) => details.addEventListener("toggle", () => {
    details.querySelectorAll(".plot:not([data-drawn])").forEach(draw);
  }));
  dark.addEventListener("change", () => {
    document.querySelectorAll(".plot[data-drawn]").forEach(dress);
  });

  document.querySelectorAll(".gallery").forEach((gallery) => {
    const frames = JSON.parse(gallery.querySelector(".frames").textContent);
    const slider = gallery.querySelector("input");
    const picture = gallery.querySelector("img.frame");
    const plot = gallery.querySelector(".plot");
    const show = () => {
      const [label, alt, source] = frames[slider.value];
      gallery.querySelector("output").textContent = label;
      slider.setAttribute("aria-valuetext", label);
      if (picture) {
        picture.src = source;
        picture.alt = alt;
      } else {
        const { data, traces } = figures.get(plot).frames[slider.value];
        Plotly.restyle(plot, { x: data.map((d) => d.x), y: data.map((d) => d.y) }, traces);
        plot.setAttribute("aria-label", alt);
      }
    };
    slider.addEventListener("input", show);
    slider.setAttribute("aria-valuetext", frames[slider.value][0]);
  });
})();
