-- Takes records that are newer than what is here: keys, teams, users, customers and deletions.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  a name for these records, should there be none yet: it tells when Redis was flushed
--       then 3 for each record: its name, its version (microseconds), its JSON (empty: deleted)
-- Gives how many were taken.

local base = KEYS[1]
local data, log, gone = base .. ':data', base .. ':log', base .. ':gone'
local HOUR = 3600 * 1000000
local taken, newest = 0, 0

redis.call('SET', base .. ':epoch', ARGV[1], 'NX')
for i = 2, #ARGV, 3 do
    local name, version, json = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before = tonumber(string.match(redis.call('HGET', data, name) or '', '^(%d+):')) or 0
    if tonumber(version) > before then
        redis.call('HSET', data, name, version .. ':' .. json)
        redis.call('ZADD', log, redis.call('INCR', base .. ':count'), name)
        if json == '' then
            redis.call('ZADD', gone, version, name)
        else
            redis.call('ZREM', gone, name)
        end
        taken = taken + 1
    end
    newest = math.max(newest, tonumber(version))
end

-- Deletions are remembered for an hour, as in the zone.
local old = redis.call('ZRANGEBYSCORE', gone, '-inf', newest - HOUR, 'LIMIT', 0, 100)
for _, name in ipairs(old) do
    redis.call('HDEL', data, name)
    redis.call('ZREM', log, name)
    redis.call('ZREM', gone, name)
end
return taken
