-- Which sums of all machines have changed since the caller looked last, and its own part in them.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  the machine    2  the name that these sums had then, or empty
--       3  the number of the last change seen    4  at most so many
-- Gives the name of the sums, the number of the last change that follows, the last day that was
-- dropped (behind it, where it is later, the last one of which the names went that clients choose),
-- then 4 for each: its row, the sum, what the machine put in under this name, and what
-- under others (put_spend.lua). Another name than before: all of them, from the beginning.

local base, id = KEYS[1], ARGV[1]
local epoch = redis.call('GET', base .. ':epoch') or ''
local last = epoch == ARGV[2] and ARGV[3] or '0'
local found = redis.call('ZRANGEBYSCORE', base .. ':log', '(' .. last, '+inf', 'WITHSCORES', 'LIMIT',
    0, ARGV[4])
local floor = redis.call('GET', base .. ':floor') or '0'
local free_floor = redis.call('GET', base .. ':free_floor') or '0'
if tonumber(free_floor) > tonumber(floor) then
    floor = floor .. ' ' .. free_floor
end
local result = {epoch, last, floor}
for i = 1, #found, 2 do
    local row = found[i]
    local day = string.match(row, '^%d+')
    local own = base .. ':of:' .. id .. ':' .. day
    local part = redis.call('HGET', own, row) or ''
    result[2] = found[i + 1]
    result[#result + 1] = row
    result[#result + 1] = redis.call('HGET', base .. ':sum:' .. day, row) or ''
    result[#result + 1] = string.sub(part, 1, 1) == '~' and '' or part
    result[#result + 1] = redis.call('HGET', own, '~' .. row) or ''
end
return result
