/** The Python that the front end asks the Jupyter kernel to run, and what comes back. */

/** Whether a cell asks for its own translation, so that running it is enough. */
export function isOurMagic(source: string): boolean {
  return /^\s*%%kernelllm(\s|$)/.test(source);
}

/**
 * One expression that translates `source` and leaves no name behind in the user's namespace.
 * A JSON string is also a Python string literal.
 */
export function translationCode(source: string): string {
  const module =
    "__import__('kernelllm_jupyter.notebook', fromlist=['translate_cell'])";
  return `${module}.translate_cell(${JSON.stringify(source)})`;
}

/** Whether an execute reply says that our Python package is not there at all. */
export function isNotInstalled(reply: object): boolean {
  const { status, ename, evalue } = reply as Record<string, unknown>;
  return (
    status === 'error' &&
    ename === 'ModuleNotFoundError' &&
    /'kernelllm_jupyter(\.notebook)?'/.test(String(evalue))
  );
}
