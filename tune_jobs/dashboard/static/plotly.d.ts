/** The functions of Plotly that the page uses; see https://plotly.com/javascript/plotlyjs-function-reference/. */
interface Plotly {
  react(node: HTMLElement, data: object[], layout: object, config: object): Promise<HTMLElement>;
  purge(node: HTMLElement): void;
}
declare const plotly: Plotly;
export default plotly;
