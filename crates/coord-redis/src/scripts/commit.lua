-- Applies one batch: all of it, or none.
-- KEYS: meta, values, names, log.
-- ARGV: time in ms (empty: the server's), fence, trim, channel, numbers of preconditions, puts, deletes and appends;
-- then a key and a version for each precondition (empty: absent), a key and a value for each put, keys, entries.
local meta, values, names, log = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local fence, trim, channel = ARGV[2], ARGV[3], ARGV[4]
local requires, puts = tonumber(ARGV[5]), tonumber(ARGV[6])
local deletes, appends = tonumber(ARGV[7]), tonumber(ARGV[8])
-- Arguments in one call: below what Lua's stack holds.
local CALL_MAX = 2000

local function text(number)
    return string.format('%.0f', number)
end

local state = redis.call('HMGET', meta, 'epoch', 'holder', 'version', 'last')
local epoch = state[1] or '0'
if fence ~= '' and (fence ~= epoch or not state[2]) then
    return {'fenced', epoch}
end
local at = 8
for index = 0, requires - 1 do
    local stored = redis.call('HGET', values, ARGV[at + 1])
    local version = stored and string.match(stored, '^(%d+):') or ''
    if version ~= ARGV[at + 2] then
        return {'precondition', text(index)}
    end
    at = at + 2
end
local last = tonumber(state[4] or 0) + appends
if trim ~= '' and tonumber(trim) > last then
    return {'trim', text(last)}
end

local micros
if ARGV[1] == '' then
    local time = redis.call('TIME')
    micros = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
    micros = tonumber(ARGV[1]) * 1000
end
local version = text(math.max(tonumber(state[3] or 0) + 1, micros))

-- The server refuses a script's first write or none of them, so what the first one says is said of the whole batch.
local begun, refusal = false, nil
local function write(arguments)
    if refusal then
        return 0
    end
    if begun then
        return redis.call(unpack(arguments))
    end
    local reply = redis.pcall(unpack(arguments))
    if type(reply) == 'table' and reply.err then
        refusal = reply.err
        return 0
    end
    begun = true
    return reply
end

-- A full memory must not keep a lane's holder from finishing what was accepted: the server lets a script write on that
-- began with a delete. What has no fence is new, and refused.
if fence ~= '' then
    write({'HDEL', meta, '-'})
end

local set, add = {'HSET', values}, {'ZADD', names}
local function put_gathered()
    -- A value that had a value has its name already.
    if #set > 2 and write(set) > 0 then
        write(add)
    end
    set, add = {'HSET', values}, {'ZADD', names}
end
for _ = 1, puts do
    local key = ARGV[at + 1]
    set[#set + 1] = key
    set[#set + 1] = version .. ':' .. ARGV[at + 2]
    add[#add + 1] = '0'
    add[#add + 1] = key
    at = at + 2
    if #set > CALL_MAX then
        put_gathered()
    end
end
put_gathered()

local first_delete = at + 1
at = at + deletes
for index = 1, appends do
    local id = text(last - appends + index) .. '-0'
    write({'XADD', log, id, 'v', ARGV[at + index]})
end

local remove, drop = {'HDEL', values}, {'ZREM', names}
local function delete_gathered()
    if #remove > 2 and write(remove) > 0 then
        write(drop)
    end
    remove, drop = {'HDEL', values}, {'ZREM', names}
end
for index = first_delete, first_delete + deletes - 1 do
    remove[#remove + 1] = ARGV[index]
    drop[#drop + 1] = ARGV[index]
    if #remove > CALL_MAX then
        delete_gathered()
    end
end
delete_gathered()

if trim ~= '' then
    write({'XTRIM', log, 'MINID', text(tonumber(trim) + 1) .. '-0'})
end
write({'HSET', meta, 'version', version, 'last', text(last)})
if refusal then
    return {'refused', refusal}
end
if appends > 0 then
    -- Losing it costs a reader time, and must not fail what is written.
    redis.pcall('PUBLISH', channel, text(last))
end
return {'ok', version, appends > 0 and text(last) or '', state[3] or state[1] and '1' or ''}
