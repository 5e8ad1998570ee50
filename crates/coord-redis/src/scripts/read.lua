-- Log entries after a position, as many as fit.
-- KEYS: log. ARGV: position, limit, most bytes.
local reply, bytes, most = {}, 0, tonumber(ARGV[3])
local after, left = ARGV[1] .. '-0', tonumber(ARGV[2])
-- Entries read at a time, so that large ones beyond what fits are not read.
local CHUNK = 128
while left > 0 and bytes < most do
    local asked = math.min(left, CHUNK)
    local found = redis.call('XRANGE', KEYS[1], '(' .. after, '+', 'COUNT', asked)
    for _, entry in ipairs(found) do
        if bytes >= most then
            return reply
        end
        after = entry[1]
        reply[#reply + 1] = after
        reply[#reply + 1] = entry[2][2]
        bytes = bytes + #entry[2][2]
    end
    left = left - #found
    if #found < asked then
        break
    end
end
return reply
