// What diff.js, loaded as a module, adds to the global scope, as far as the page uses it.
export {};

declare global {
  interface Change {
    value: string;
    added: boolean;
    removed: boolean;
    count: number;
  }
  interface ArrayChange {
    value: string[];
    added: boolean;
    removed: boolean;
    count: number;
  }
  interface DiffOptions {
    timeout: number;
  }
  var Diff: {
    diffLines(before: string, after: string, options: DiffOptions): Change[] | undefined;
    diffArrays(before: string[], after: string[], options: DiffOptions): ArrayChange[] | undefined;
  };
}
