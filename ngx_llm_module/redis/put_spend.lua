-- Takes what was spent at one machine and brings the sums of all machines up to it.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  the machine    2  the name of the sums that it is a part of, or empty
--       3  a name for new sums, should there be none: it tells when Redis was flushed
--       4  a number that rises with every call: what comes late is not taken
--       5  1: these rows are in the sums already    6  so many rows of sums are kept
--       then 2 for each row: "DAY\tWHAT\tNAME" (day 0: all days), its seven numbers
-- Gives {what, name of the sums, last number}. what:  taken
--       anew  the sums are others than the machine knows: it sends all of its rows. One that
--             knows none does so from the first call on, which may be its last one
--       gone  it was silent for so long that its rows were forgotten; they are in the sums
--       late  the number is not above the last one
--
-- Numbers are what the machine has in all, so a call that is repeated changes nothing. A row for
-- which the sums have no room is counted under the name "other" from then on; beside its number in
-- the machine's rows stands a "~", and "~ROW" says how much of "other" came from it.

local base, id, adopts = KEYS[1], ARGV[1], ARGV[5] == '1'
local seen, log, days = base .. ':seen', base .. ':log', base .. ':days'
local SILENT = 30 * 86400
local now = tonumber(redis.call('TIME')[1])

local epoch = redis.call('GET', base .. ':epoch')
if not epoch then
    epoch = ARGV[3]
    redis.call('SET', base .. ':epoch', epoch)
end
if ARGV[2] ~= '' and ARGV[2] ~= epoch then
    redis.call('ZADD', seen, now, id)
    return {'anew', epoch, '0'}
end
if ARGV[2] ~= '' and not adopts and not redis.call('ZSCORE', seen, id) then
    return {'gone', epoch, '0'}
end
local last = redis.call('HGET', base .. ':numbers', id) or '0'
if tonumber(ARGV[4]) <= tonumber(last) then
    return {'late', epoch, last}
end

local function numbers_of(text)
    local list = {}
    for number in string.gmatch(text or '', '%-?%d+') do
        list[#list + 1] = tonumber(number)
    end
    return list
end

local function add(key, field, text, before)
    local sums, less = numbers_of(redis.call('HGET', key, field)), numbers_of(before)
    for i, number in ipairs(numbers_of(text)) do
        sums[i] = string.format('%.0f', (sums[i] or 0) + number - (less[i] or 0))
    end
    redis.call('HSET', key, field, table.concat(sums, ' '))
end

-- The oldest day goes, but never today.
local floor = tonumber(redis.call('GET', base .. ':floor') or 0)
local function has_room()
    if redis.call('ZCARD', log) < tonumber(ARGV[6]) then
        return true
    end
    local oldest = redis.call('ZRANGE', days, 0, 0)[1]
    if not oldest or tonumber(oldest) >= math.floor(now / 86400) then
        return false
    end
    for _, field in ipairs(redis.call('HKEYS', base .. ':sum:' .. oldest)) do
        redis.call('ZREM', log, field)
    end
    for _, machine in ipairs(redis.call('ZRANGE', seen, 0, -1)) do
        redis.call('UNLINK', base .. ':of:' .. machine .. ':' .. oldest)
    end
    redis.call('UNLINK', base .. ':sum:' .. oldest)
    redis.call('ZREM', days, oldest)
    floor = tonumber(oldest)
    redis.call('SET', base .. ':floor', oldest)
    return true
end

for i = 7, #ARGV, 2 do
    local field, text = ARGV[i], ARGV[i + 1]
    local day, what, name = string.match(field, '^(%d+)\t(%d+)\t(.*)$')
    local sums, own = base .. ':sum:' .. day, base .. ':of:' .. id .. ':' .. day
    if day == '0' or tonumber(day) > floor then
        local before = redis.call('HGET', own, field)
        local is_other = before and string.sub(before, 1, 1) == '~'
        if not before and redis.call('HEXISTS', sums, field) == 0 then
            is_other = adopts or not (what == '0' or name == 'other' or has_room())
        end
        local to = is_other and day .. '\t' .. what .. '\tother' or field
        if not adopts then
            add(sums, to, text, before)
            if is_other then
                add(own, '~' .. to, text, before)
            end
            redis.call('ZADD', log, redis.call('INCR', base .. ':count'), to)
            if day ~= '0' then
                redis.call('ZADD', days, day, day)
            end
        end
        redis.call('HSET', own, field, (is_other and '~' or '') .. text)
    end
end
redis.call('ZADD', seen, now, id)
redis.call('HSET', base .. ':numbers', id, ARGV[4])

-- What a machine spent stays in the sums when it is gone.
local silent = redis.call('ZRANGEBYSCORE', seen, '-inf', now - SILENT, 'LIMIT', 0, 1)[1]
if silent then
    for _, day in ipairs(redis.call('ZRANGE', days, 0, -1)) do
        redis.call('UNLINK', base .. ':of:' .. silent .. ':' .. day)
    end
    redis.call('UNLINK', base .. ':of:' .. silent .. ':0')
    redis.call('ZREM', seen, silent)
    redis.call('HDEL', base .. ':numbers', silent)
end
return {'taken', epoch, ARGV[4]}
