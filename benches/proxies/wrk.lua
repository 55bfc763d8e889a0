-- The argument is the length of the requests' bodies. With 0, the requests are GET.
function init(arguments)
   local length = tonumber(arguments[1])
   if length > 0 then
      wrk.method = "POST"
      wrk.body = string.rep("x", length)
   end
end

-- Prints: requests, duration, median and 99th percentile of the latency in microseconds, failures.
function done(summary, latency)
   local errors = summary.errors
   local failures = errors.connect + errors.read + errors.write + errors.timeout + errors.status
   print(string.format("%d %d %d %d %d", summary.requests, summary.duration, latency:percentile(50),
      latency:percentile(99), failures))
end
