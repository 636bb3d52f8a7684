// As pauses.py: the collector's pauses as Node tells them, which is by the clock alone.
const path = process.env.BENCH_PAUSES
if (path) {
  const {performance, PerformanceObserver} = require('perf_hooks')
  const shift = Number(process.hrtime.bigint()) / 1e6 - performance.now()
  const pauses = []
  const take = entries => { for (const e of entries) pauses.push([(e.startTime + shift) / 1000, e.duration, null]) }
  const observer = new PerformanceObserver(list => take(list.getEntries()))
  observer.observe({entryTypes: ['gc']})
  process.on('SIGTERM', () => {
    take(observer.takeRecords())
    require('fs').writeFileSync(path, JSON.stringify(pauses))
    process.exit()
  })
}
