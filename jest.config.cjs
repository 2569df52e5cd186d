// JupyterLab's and Lumino's packages are ES modules; Jest needs them, and us, as CommonJS.
const esModules = [
  '@jupyter',
  '@jupyterlab',
  '@lumino',
  'lib0',
  'nanoid',
  'y-protocols',
  'yjs'
];

module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/labextension/src'],
  testMatch: ['**/__tests__/**/*.spec.ts'],
  transform: {
    '^.+\\.[jt]s$': ['ts-jest', { tsconfig: 'tsconfig.test.json' }]
  },
  transformIgnorePatterns: [`/node_modules/(?!(${esModules.join('|')})/)`]
};
