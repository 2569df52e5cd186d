import { execFileSync } from 'child_process';
import { isNotInstalled, isOurMagic, translationCode } from '../pythonCall';

describe('isOurMagic', () => {
  it.each(['%%kernelllm', '%%kernelllm -k 3\nx', '\n  %%kernelllm\nx'])(
    'knows %j',
    source => {
      expect(isOurMagic(source)).toBe(true);
    }
  );

  it.each([
    '',
    'x = 1\n%%kernelllm',
    '%%kernelllmx',
    '%kernelllm status',
    '%%time'
  ])('does not take %j for it', source => {
    expect(isOurMagic(source)).toBe(false);
  });
});

describe('translationCode', () => {
  it('hands any text to Python unchanged', () => {
    const source =
      'x = "\'\\n"\t\\\n"""doc"""\r\n# \u2028 \u00e9 \u{1f600} \u0000 {brace} %s\n';
    const code = translationCode(source);
    const argument = code.slice(code.indexOf('translate_cell(') + 15, -1);
    const script = `import json, sys; print(json.dumps(eval(sys.stdin.read())))`;
    const echoed = execFileSync('python3', ['-c', script], {
      input: argument,
      encoding: 'utf-8',
      env: { ...process.env, PYTHONUTF8: '1' }
    });
    expect(JSON.parse(echoed)).toBe(source);
  });
});

describe('isNotInstalled', () => {
  const error = (ename: string, evalue: string) => ({
    status: 'error',
    ename,
    evalue
  });

  it.each(["No module named 'kernelllm_jupyter'"])('knows %j', evalue => {
    expect(isNotInstalled(error('ModuleNotFoundError', evalue))).toBe(true);
  });

  it.each([
    error('ModuleNotFoundError', "No module named 'torch'"),
    error('ImportError', "No module named 'kernelllm_jupyter'"),
    { status: 'ok' },
    { status: 'abort' }
  ])('does not take %j for it', reply => {
    expect(isNotInstalled(reply)).toBe(false);
  });
});
