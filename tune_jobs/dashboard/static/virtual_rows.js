// A scrolling part of the page that draws only the rows that are seen.

import { elementScroll, observeElementOffset, observeElementRect, Virtualizer } from "./virtual.js";

/** Height of a row and of the heading in pixels, as in trials.css. */
export const ROW_HEIGHT = 34;
const HEADING_HEIGHT = 38;
const OVERSCAN = 10;

/** @typedef {{before: number, after: number, indexes: number[]}} VisibleRows */

/** Which rows of a scrolling element are seen. */
export class VirtualRows {
  /** @type {HTMLElement | null} */
  #scroller = null;
  #count = 0;
  /** @type {Virtualizer<HTMLElement, HTMLElement>} */
  #virtualizer;
  /** @type {() => void} */
  #redraw;

  /** @param {() => void} redraw Called after scrolling. */
  constructor(redraw) {
    this.#redraw = redraw;
    this.#virtualizer = new Virtualizer(this.#options());
  }

  #options() {
    return {
      count: this.#count,
      getScrollElement: () => this.#scroller,
      estimateSize: () => ROW_HEIGHT,
      paddingStart: HEADING_HEIGHT,
      scrollPaddingStart: HEADING_HEIGHT,
      overscan: OVERSCAN,
      initialRect: { width: 1000, height: 600 },
      scrollToFn: elementScroll,
      observeElementRect,
      observeElementOffset,
      onChange: () => this.#redraw(),
    };
  }

  /**
   * Begin to follow an element.
   *
   * @param {HTMLElement} scroller
   * @returns {() => void} Ends it.
   */
  mount(scroller) {
    this.#scroller = scroller;
    const unmount = this.#virtualizer._didMount();
    this.#virtualizer._willUpdate();
    return unmount;
  }

  /**
   * Return the rows to draw, and the heights in pixels of those before and after them.
   *
   * @param {number} count
   * @returns {VisibleRows}
   */
  see(count) {
    if (count !== this.#count) {
      this.#count = count;
      this.#virtualizer.setOptions(this.#options());
    }
    const items = this.#virtualizer.getVirtualItems();
    const indexes = items.map((item) => item.index);
    const first = indexes[0] ?? 0;
    const last = indexes[indexes.length - 1] ?? -1;
    return {
      before: first * ROW_HEIGHT,
      after: Math.max(0, count - 1 - last) * ROW_HEIGHT,
      indexes,
    };
  }

  /** Return the index of the first row that is seen, and how many pixels of it are not. */
  readTop() {
    const offset = this.#scroller?.scrollTop ?? 0;
    return { index: Math.floor(offset / ROW_HEIGHT), hidden: offset % ROW_HEIGHT };
  }

  /**
   * Scroll until a row is the first one.
   *
   * @param {number} index
   * @param {number} hidden Pixels of it that are not seen.
   */
  scrollTo(index, hidden) {
    if (this.#scroller) this.#scroller.scrollTop = index * ROW_HEIGHT + hidden;
  }

  /**
   * Scroll until a row is seen.
   *
   * @param {number} index
   * @param {"auto" | "center"} align
   */
  reveal(index, align = "auto") {
    this.#virtualizer.scrollToIndex(index, { align });
  }
}
