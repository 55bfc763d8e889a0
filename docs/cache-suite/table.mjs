// Prints the results of http-tests/cache-tests as a table in Markdown.
//
//   node table.mjs SUITE NAME=RESULTS.json ...
//
// SUITE is the clone of the suite. NAME is the heading of a column, RESULTS.json the output of the suite's client.

import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'

const [suite, ...caches] = process.argv.slice(2)
const load = path => import(new URL(path, pathToFileURL(`${suite}/`)))
const { default: suites } = await load('tests/index.mjs')
const { determineTestResult, resultTypes } = await load('test-engine/lib/results.mjs')

const words = new Map([
  ['pass', 'pass'], ['yes', 'yes'], ['no', 'no'], ['fail', '**fail**'], ['optional_fail', 'fail'],
  ['untested', '–'], ['setup_fail', 'setup'], ['harness_fail', 'harness'], ['dependency_fail', 'depends'], ['retry', 'retry']
].map(([type, word]) => [resultTypes[type], word]))
const columns = caches.map(cache => {
  const [name, file] = cache.split('=')
  return { name, results: JSON.parse(readFileSync(file, 'utf8')) }
})

const counts = {}
const rows = []
for (const { id: group, tests } of suites) {
  for (const { id, kind = 'required', browser_only: browser } of tests) {
    if (browser) continue
    const results = columns.map(({ results }) => words.get(determineTestResult(suites, id, results)))
    rows.push([`\`${id}\``, group, kind, ...results])
    results.forEach((result, column) => {
      const of = (counts[kind] ??= columns.map(() => ({})))[column]
      of[result] = (of[result] ?? 0) + 1
    })
  }
}

const line = cells => console.log(`| ${cells.join(' | ')} |`)
const heading = first => {
  line([...first, ...columns.map(({ name }) => name)])
  line([...first, ...columns].map(() => '---'))
}
heading(['tests'])
for (const [kind, of] of Object.entries(counts)) {
  line([kind, ...of.map(count => Object.entries(count).map(([result, number]) => `${number} ${result}`).join(', '))])
}
console.log()
heading(['test', 'group', 'kind'])
rows.forEach(line)
