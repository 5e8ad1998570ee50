-- Takes, extends or gives back a lane.
-- KEYS: meta. ARGV: what, time in ms (empty: the server's), then for
--   acquire: holder, ms, an epoch that was seen before
--   renew:   epoch, ms
--   release, revoke: epoch
local meta, what = KEYS[1], ARGV[1]
local micros
if ARGV[2] == '' then
    local time = redis.call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
    micros = tonumber(ARGV[2]) * 1000
end
local now = math.floor(micros / 1000)

local function text(number)
    return string.format('%.0f', number)
end

-- A full memory must not cost anybody a lease: the server lets a script write on that began with a delete.
local function write(...)
    local begun = redis.pcall('HDEL', meta, '-')
    if type(begun) == 'table' and begun.err then
        return begun.err
    end
    redis.call(...)
end

local state = redis.call('HMGET', meta, 'epoch', 'holder', 'expires', 'version')
local epoch, holder, expires = state[1], state[2], tonumber(state[3] or 0)

if what == 'acquire' then
    if holder and holder ~= ARGV[3] and now < expires then
        return {'held', holder, text(expires - now)}
    end
    -- Time has its part in it, so that a server that lost data gives no epoch twice.
    local next = math.max(tonumber(epoch or 0) + 1, tonumber(ARGV[5]) + 1, micros)
    local refusal = write('HSET', meta, 'epoch', text(next), 'holder', ARGV[3],
        'expires', text(now + tonumber(ARGV[4])))
    if refusal then
        return {'refused', refusal}
    end
    return {'ok', text(next), (epoch or state[4]) and '1' or ''}
end

if epoch ~= ARGV[3] or not holder then
    return {'lost', epoch or '0'}
end
local refusal
if what == 'renew' then
    if now >= expires then
        return {'lost', epoch}
    end
    refusal = write('HSET', meta, 'expires', text(now + tonumber(ARGV[4])))
elseif what == 'release' then
    refusal = write('HDEL', meta, 'holder', 'expires')
else
    -- As lost as if another had taken it.
    epoch = text(math.max(tonumber(epoch) + 1, micros))
    refusal = write('HSET', meta, 'epoch', epoch)
    if not refusal then
        redis.call('HDEL', meta, 'holder', 'expires')
    end
end
if refusal then
    return {'refused', refusal}
end
return {'ok', epoch}
