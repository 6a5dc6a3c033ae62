-- Say how the call under a key ended, unless somebody else took it over meanwhile.
-- KEYS: the key. ARGV: owner, hash of the request, ms to keep (0: free it), answer kept (0/1), answer, receipt.
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'hash', ARGV[2], 'done', '1', 'receipt', ARGV[6])
if ARGV[4] == '1' then redis.call('HSET', KEYS[1], 'answer', ARGV[5]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
