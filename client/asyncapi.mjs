// Judge AsyncAPI documents with AsyncAPI's own parser: `node asyncapi.mjs FILE ...` prints what is wrong with each, as
// JSON; null for what is no document at all.
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const parser = new Parser()
const judge = async (file) => {
  const { document, diagnostics } = await parser.parse(readFileSync(file, 'utf8'))
  const wrong = diagnostics.filter(({ severity }) => severity <= 1)
  return document || wrong.length ? wrong.map(({ code, message, path }) => [code, message, path.join('.')]) : null
}
const verdicts = []
for (const file of process.argv.slice(2)) verdicts.push(await judge(file))
console.log(JSON.stringify(verdicts))
