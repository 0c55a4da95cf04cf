-- What has changed among the records since the caller looked last, in the order of the changes.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  the name that these records had then, or empty    2  the number of the last change seen
--       3  at most so many    4  a name for them, should there be none
-- Gives their name, the number of the last change that follows, then 2 for each: name, version and
-- JSON ("version:json"). Another name than before: all of them, from the beginning.

local base = KEYS[1]
local epoch = redis.call('GET', base .. ':epoch')
if not epoch then
    epoch = ARGV[4]
    redis.call('SET', base .. ':epoch', epoch)
end

local last = epoch == ARGV[1] and ARGV[2] or '0'
local found = redis.call('ZRANGEBYSCORE', base .. ':log', '(' .. last, '+inf', 'WITHSCORES', 'LIMIT',
    0, ARGV[3])
local result = {epoch, last}
for i = 1, #found, 2 do
    result[2] = found[i + 1]
    result[#result + 1] = found[i]
    result[#result + 1] = redis.call('HGET', base .. ':data', found[i]) or ''
end
return result
