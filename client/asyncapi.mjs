// Judge an AsyncAPI document with AsyncAPI's own parser: `node asyncapi.mjs FILE` prints what is wrong, as JSON.
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], 'utf8'))
const wrong = diagnostics.filter(({ severity }) => severity <= 1)
console.log(JSON.stringify(wrong.map(({ code, message, path }) => [code, message, path.join('.')])))
process.exit(document ? 0 : 1)
