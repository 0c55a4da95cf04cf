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

-- Names that clients choose, of customers, tags and models, have a half of the rows, as in the zone
-- (state/spend.hpp): where that is used up, only they go of the oldest day, or are "other".

local base, id, adopts, most = KEYS[1], ARGV[1], ARGV[5] == '1', tonumber(ARGV[6])
local seen, log, days, free = base .. ':seen', base .. ':log', base .. ':days', base .. ':free'
local SILENT = 30 * 86400
local CUSTOMER, TAG, FREE_MODEL = '4', '5', '8'
local now = tonumber(redis.call('TIME')[1])
local today = math.floor(now / 86400)

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

local function is_free(what, name)
    return (what == CUSTOMER or what == TAG or what == FREE_MODEL) and name ~= 'other'
end

-- What was written before there was such a set.
local function list_free()
    for _, field in ipairs(redis.call('ZRANGE', log, 0, -1)) do
        local day, what, name = string.match(field, '^(%d+)\t(%d+)\t(.*)$')
        if is_free(what, name) then
            redis.call('ZADD', free, day, field)
        end
    end
end

local floor = tonumber(redis.call('GET', base .. ':floor') or 0)
local free_floor = tonumber(redis.call('GET', base .. ':free_floor') or 0)

local function drop_day(day)
    for _, field in ipairs(redis.call('HKEYS', base .. ':sum:' .. day)) do
        redis.call('ZREM', log, field)
    end
    for _, machine in ipairs(redis.call('ZRANGE', seen, 0, -1)) do
        redis.call('UNLINK', base .. ':of:' .. machine .. ':' .. day)
    end
    redis.call('UNLINK', base .. ':sum:' .. day)
    redis.call('ZREM', days, day)
    floor = tonumber(day)
    redis.call('SET', base .. ':floor', day)
end

local function drop_free(day)
    local machines = redis.call('ZRANGE', seen, 0, -1)
    for _, field in ipairs(redis.call('ZRANGEBYSCORE', free, day, day)) do
        redis.call('ZREM', log, field)
        redis.call('HDEL', base .. ':sum:' .. day, field)
        for _, machine in ipairs(machines) do
            redis.call('HDEL', base .. ':of:' .. machine .. ':' .. day, field)
        end
    end
    free_floor = tonumber(day)
    redis.call('SET', base .. ':free_floor', day)
end

local is_listed = false

-- The oldest day goes, but never today.
local function has_room(of_client)
    if of_client and not is_listed and redis.call('EXISTS', free) == 0 then
        list_free()
    end
    is_listed = is_listed or of_client
    local is_share_used = of_client and redis.call('ZCARD', free) >= most / 2
    if not is_share_used and redis.call('ZCARD', log) < most then
        return true
    end
    local oldest = is_share_used
        and redis.call('ZRANGEBYSCORE', free, '(0', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
        or not is_share_used and redis.call('ZRANGE', days, 0, 0)[1]
    if not oldest or tonumber(oldest) >= today then
        return false
    end
    if is_share_used then
        drop_free(oldest)
    else
        drop_day(oldest)
    end
    redis.call('ZREMRANGEBYSCORE', free, oldest, oldest)
    return true
end

for i = 7, #ARGV, 2 do
    local field, text = ARGV[i], ARGV[i + 1]
    local day, what, name = string.match(field, '^(%d+)\t(%d+)\t(.*)$')
    local sums, own = base .. ':sum:' .. day, base .. ':of:' .. id .. ':' .. day
    local of_client = is_free(what, name)
    if day == '0' or tonumber(day) > (of_client and math.max(floor, free_floor) or floor) then
        local before = redis.call('HGET', own, field)
        local is_other = before and string.sub(before, 1, 1) == '~'
        if not before and redis.call('HEXISTS', sums, field) == 0 then
            is_other = adopts or not (what == '0' or name == 'other' or has_room(of_client))
        end
        local to = is_other and day .. '\t' .. what .. '\tother' or field
        if not adopts then
            add(sums, to, text, before)
            if is_other then
                add(own, '~' .. to, text, before)
            end
            redis.call('ZADD', log, redis.call('INCR', base .. ':count'), to)
            if of_client and not is_other then
                redis.call('ZADD', free, day, field)
            end
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
