-- wrk script: POST an Open Inference Protocol request that names an entity; prints one machine-readable line at the end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"parameters":{"account_id":7},"inputs":[{"name":"x","shape":[1,4],"datatype":"FP64","data":[5.1,3.5,1.4,0.2]}]}'
function done(s, l, r)
  io.write(string.format("RESULT %d %d %d %d %d %d %d %d %d %d\n", s.requests, s.duration,
    l:percentile(50), l:percentile(90), l:percentile(99), l:percentile(99.9), l.max,
    r and s.errors.status or 0, s.errors.connect + s.errors.read + s.errors.write, s.errors.timeout))
end
