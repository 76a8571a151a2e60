// A button that opens a panel. The panel exists only while it is open.

import { el } from "./dom.js";
import { Component } from "./preact.js";

/**
 * @typedef {object} Props
 * @property {string} label
 * @property {(close: () => void) => import("./dom.js").Child} draw Returns what is in the panel.
 */

/** @extends {Component<Props>} */
export class Menu extends Component {
  isOpen = false;
  /** @type {HTMLDetailsElement | null} */
  #details = null;

  componentDidMount() {
    addEventListener("pointerdown", this.#closeIfOutside);
  }

  componentWillUnmount() {
    removeEventListener("pointerdown", this.#closeIfOutside);
  }

  /** @param {PointerEvent} event */
  #closeIfOutside = ({ target }) => {
    if (target instanceof Node && !this.#details?.contains(target))
      this.#details?.removeAttribute("open");
  };

  /** Close it, and return to its button. */
  close = () => {
    this.#details?.removeAttribute("open");
    this.#details?.querySelector("summary")?.focus();
  };

  render() {
    const { label, draw } = this.props;
    return el(
      "details",
      {
        class: "menu",
        onKeyDown: ({ key }) => {
          if (key === "Escape") this.close();
        },
        onToggle: ({ currentTarget }) => {
          this.isOpen = currentTarget.open;
          this.setState({});
        },
        ref: (/** @type {HTMLDetailsElement | null} */ node) => {
          this.#details = node;
        },
      },
      el("summary", {}, label),
      this.isOpen ? el("div", { class: "panel" }, draw(this.close)) : null,
    );
  }
}
