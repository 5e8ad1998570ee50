-- Names and values in order, from one state.
-- KEYS: names, values. ARGV: command, first bound, second bound, skip, limit, most bytes.
local found = redis.call(ARGV[1], KEYS[1], ARGV[2], ARGV[3], 'LIMIT', ARGV[4], ARGV[5])
local reply, bytes, most = {'ok'}, 0, tonumber(ARGV[6])
-- Names in one call: below what Lua's stack holds.
local CALL_MAX = 1000
for first = 1, #found, CALL_MAX do
    local last = math.min(first + CALL_MAX - 1, #found)
    local values = redis.call('HMGET', KEYS[2], unpack(found, first, last))
    for index = first, last do
        local value = values[index - first + 1]
        if not value then
            return {'damaged', found[index]}
        end
        bytes = bytes + #value
        if bytes > most then
            return {'large', tostring(index - 1)}
        end
        reply[#reply + 1] = found[index]
        reply[#reply + 1] = value
    end
end
return reply
